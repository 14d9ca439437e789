"""What every test gets without asking."""

from hypothesis import settings

# No deadline per example: a machine that does something else for a moment is not a defect. A failure
# prints what reproduces it.
settings.register_profile("live-origin", deadline=None, print_blob=True)
settings.load_profile("live-origin")
