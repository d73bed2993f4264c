"""What the documentation site is made with: command pages from the commands' help, recorded console sessions."""
