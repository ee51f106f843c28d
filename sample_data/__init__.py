"""The scan that ``volconv demo`` runs on; see the README beside it."""
