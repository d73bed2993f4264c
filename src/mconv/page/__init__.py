"""What a command found as one page of HTML that needs nothing else, made of its ``--json`` document."""
