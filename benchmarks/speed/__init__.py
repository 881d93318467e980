"""How long things take beside other ways to do them. Plain Python here: other interpreters import it too."""
