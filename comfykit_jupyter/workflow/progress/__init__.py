"""Progress of a job as (state, event) → state."""
