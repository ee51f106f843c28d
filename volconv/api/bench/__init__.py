"""`volconv bench`: what this machine can do, what the engine makes of it, and what others make of the same layers."""
