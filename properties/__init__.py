"""What must hold: checkers that watch and never drive."""
