"""Several server processes on one machine, under gunicorn's arbiter."""
