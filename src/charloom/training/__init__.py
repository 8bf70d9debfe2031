"""Learning: the only room with torch in it. It writes the model directory; everything after reads that."""
