"""What holds for every input (hypothesis). Values are built in the test; what is expected comes from other code."""
