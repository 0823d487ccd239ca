"""The parts of the measurements, each with its question and its way to answer it."""
