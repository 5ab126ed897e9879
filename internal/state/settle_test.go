package state_test

import (
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

func TestSettle(t *testing.T) {
	old, new, other, none := id("old"), id("new"), id("other"), content.ID{}
	for _, row := range []struct {
		name     string
		step     string // a swap is from old to new, an undo from new to old
		at, kept content.ID
		outcome  state.Outcome
		restore  content.ID
		then     content.ID // what is at the path in the end
	}{
		{"before anything", state.Swap, old, none, state.Abandoned, none, old},
		{"after the old file was kept", state.Swap, old, old, state.Abandoned, none, old},
		{"after the rename", state.Swap, new, old, state.Finished, none, new},
		{"after the rename, the kept file is gone", state.Swap, new, none, state.Finished, none, new},
		{"moved aside, between the renames", state.Swap, none, old, state.Abandoned, old, old},
		{"between the renames, the kept file is damaged", state.Swap, none, other, state.Lost, none, none},
		{"between the renames, nothing is kept", state.Swap, none, none, state.Lost, none, none},
		{"deployed by hand meanwhile", state.Swap, other, old, state.Foreign, none, none},

		{"undo, before the rename", state.Undo, new, old, state.Finished, old, old},
		{"undo, after the rename", state.Undo, old, none, state.Finished, none, old},
		{"undo, after the rename, the kept file is still there", state.Undo, old, old, state.Finished, none, old},
		{"F28 undo, the kept file is gone", state.Undo, new, none, state.Stuck, none, new},
		{"F28 undo, the kept file is damaged", state.Undo, new, other, state.Stuck, none, new},
		{"undo, moved aside", state.Undo, none, old, state.Finished, old, old},
		{"undo, moved aside, the kept file is gone", state.Undo, none, none, state.Lost, none, none},
		{"undo, deployed by hand meanwhile", state.Undo, other, old, state.Foreign, none, none},

		{"rollback, before the rename", state.Rollback, new, old, state.Finished, old, old},
		{"rollback, after the rename", state.Rollback, old, none, state.Finished, none, old},

		{"a step of a newer version, before", "teleport", old, none, state.Abandoned, none, old},
		{"a step of a newer version, after", "teleport", new, old, state.Finished, none, new},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := state.File{Version: "1.0.0", ID: old, Proved: true}
			after := state.File{Version: "2.0.0", ID: new}
			s := state.New()
			s.Previous = &state.File{Version: "0.9.0", ID: id("older"), Proved: true}
			j := state.Journal{Step: row.step, From: before, To: after, Cause: text.Of("test")}
			s.Installed = &before
			if row.step == state.Undo || row.step == state.Rollback {
				j.From, j.To = after, before
				s.Installed = &after
				s.Older = []*state.File{s.Previous}
				s.Previous = &before
			}
			s.Journal = &j
			v := state.Settle(j, row.at, row.kept)
			if v.Outcome != row.outcome {
				t.Errorf("%v, want %v", v.Outcome, row.outcome)
			}
			if got := idOf(v.Restore); got != row.restore {
				t.Errorf("restores %v, want %v", v.Restore, row.restore)
			}
			if got := idOf(v.At); got != row.then {
				t.Errorf("then %v is at the path, want %v", v.At, row.then)
			}

			s.Settle(v, time.Unix(1, 0))
			if s.Journal != nil {
				t.Error("the journal is still there")
			}
			if got := idOf(s.Installed); got != row.then {
				t.Errorf("installed %v, want %v", s.Installed, row.then)
			}
			undone := j.From.ID == new && row.outcome == state.Finished
			if f, failed := s.Failed["2.0.0"]; failed != undone || undone && (f.Reason.String() != "test" || f.ByHand != (row.step == state.Rollback)) {
				t.Errorf("failed versions: %+v", s.Failed)
			}
			want := id("older") // of a swap that came to nothing, or of an undo that took the file before it
			switch {
			case j.From.ID == old && row.outcome == state.Finished, j.From.ID == new && row.outcome != state.Finished:
				want = old
			}
			if got := idOf(s.Previous); got != want {
				t.Errorf("previous is %+v", s.Previous)
			}

			// Settled twice, by who was killed before he could save: the same.
			if v.Restore != nil {
				again := state.Settle(j, v.Restore.ID, none)
				if idOf(again.At) != row.then || again.Restore != nil {
					t.Errorf("again: %+v", again)
				}
			}
		})
	}
}

func idOf(f *state.File) content.ID {
	if f == nil {
		return content.ID{}
	}
	return f.ID
}

func file(version string, proved bool) state.File {
	return state.File{Version: version, ID: id(version), Proved: proved}
}

// Which files stay kept over a life of updates, undos and rollbacks.
func TestPreviousOverALife(t *testing.T) {
	s := state.New()
	at := file("1", true)
	swap := func(to state.File, keep int) {
		s.Swapped(state.Journal{Step: state.Swap, From: at, To: to})
		s.Trim(keep)
		at = to
	}
	back := func(step string) {
		to := *s.Previous
		s.Undone(state.Journal{Step: step, From: at, To: to, Cause: text.Of("c")}, time.Unix(1, 0))
		at = to
	}
	check := func(previous string, older ...string) {
		t.Helper()
		got := ""
		if s.Previous != nil {
			got = s.Previous.Version
		}
		if got != previous || len(s.Older) != len(older) {
			t.Fatalf("previous %q and %d older, want %q and %v", got, len(s.Older), previous, older)
		}
		for i, f := range s.Older {
			if f.Version != older[i] {
				t.Fatalf("older[%d] is %s, want %v", i, f.Version, older)
			}
		}
		if len(s.Keep()) != len(older)+min(1, len(previous)) {
			t.Fatalf("Keep lists %d", len(s.Keep()))
		}
	}
	swap(file("2", false), 1)
	check("1")
	swap(file("3", true), 1) // over an unproved 2, which displaces nothing
	check("1")
	swap(file("4", true), 1)
	check("3")
	swap(file("5", true), 3)
	check("4", "3")
	swap(file("6", true), 3)
	check("5", "4", "3")
	back(state.Rollback)
	check("4", "3")
	back(state.Undo)
	check("3")
	if s.Installed.Version != "4" || !s.Failed["6"].ByHand || s.Failed["5"].ByHand {
		t.Errorf("installed %s, failed %v", s.Installed.Version, s.Failed)
	}
	back(state.Rollback)
	check("")
	swap(file("7", true), 0)
	check("")
}

func TestKeepListsWhatTheJournalNeeds(t *testing.T) {
	s := state.New()
	s.Journal = &state.Journal{Step: state.Swap, From: file("1", true), To: file("2", false)}
	keep := s.Keep()
	if len(keep) != 2 || keep[0] != id("1").SHA256 || keep[1] != id("2").SHA256 {
		t.Errorf("%v", keep)
	}
}
