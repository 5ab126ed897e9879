package main

import "testing"

// Small worlds, with every mishap: the rules hold, a good release gets everywhere, and a bad one does not.
func TestSimulation(t *testing.T) {
	for _, m := range mishaps {
		w := world{hosts: 200, coordinators: 2, policy: careful}
		m.edit(&w)
		if r, err := run(w, 3); err != nil || len(r.Wrong) > 0 {
			t.Errorf("%s: %+v %v", m.name, r, err)
		}
		w.release, w.days = release{kills: 1}, 1
		if r, err := run(w, 3); err != nil || r.Killed > 10 || r.Killed == 0 || !r.Halted || r.Proved > 0 {
			t.Errorf("%s, a release that kills: %+v %v", m.name, r, err)
		}
	}
}
