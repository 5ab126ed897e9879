package swap

// MoveAside makes the target behave as on a system that refuses to rename over an executable that runs.
func (t *Target) MoveAside() { t.movesAside = true }
