"""The worker machine: polls, runs workflow tasks and activities, reports."""
