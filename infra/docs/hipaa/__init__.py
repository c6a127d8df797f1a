"""HIPAA controls as data, the evidence behind each, and the page made from both."""
