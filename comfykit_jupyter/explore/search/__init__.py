"""Search: points that Optuna proposes, by a score or by the user's ratings."""
