"""Code that runs in AWS Lambda: standard library only, one folder per function, deployed without this package."""
