"""What tests are made of and what ships with the project: given-when-then, contract suites, the scripted upstream."""
