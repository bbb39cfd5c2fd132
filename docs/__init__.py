"""Documents, the script that makes their pictures, and the questions for a person at a real Windows."""
