"""What may leave a site: its policy, differential privacy, the budget ledger, signatures; opens no scan."""
