"""What the documents promise of machines, supply chain and attackers."""
