"""The ground floor: Paddle's programs, parameters and files, without Paddle."""
