"""The tests, laid out as the packages are; `beds` holds the real parts they run against."""
