"""Chapter 35: questions and answers on the framework."""
