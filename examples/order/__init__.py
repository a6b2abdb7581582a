"""An order with a human approval that takes weeks."""
