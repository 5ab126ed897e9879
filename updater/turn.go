package updater

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
)

// shared is what the goroutines of one Updater have in common.
type shared struct {
	mu            sync.Mutex
	status        Status
	memory        catalog.Memory // what could not be written, or not yet
	counts        state.Counts   // likewise
	countsWritten time.Time
	ended         chan struct{} // closed when the turn that is taken ends; nil while none is
	owing         atomic.Bool   // a gate could not be told how a move ended
	// giveWay asks the work of that turn to end for what somebody needs, nil while it would not; it says whether it does.
	giveWay func(installation.Need) bool
	tasks   chan task // what POST asks for, while Run runs
}

// A turn is the right to change the installation, which one goroutine of this process has at a time. It is taken
// before work starts and names the step that the work has reached, so that what a status says and what runs cannot
// disagree.
type turn struct{ s *shared }

// begin takes the turn, and returns nil if another goroutine has it.
func (s *shared) begin(step Step) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return nil
	}
	s.ended, s.status.State = make(chan struct{}), step
	return &turn{s}
}

// at says which step the work has reached. A nil turn belongs to work that changes nothing, and is not shown.
func (t *turn) at(step Step) {
	if t == nil {
		return
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.status.State = step
}

// end gives the turn back.
func (t *turn) end() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.status.State, t.s.giveWay = StepIdle, nil
	close(t.s.ended)
	t.s.ended = nil
}

// set changes the status.
func (s *shared) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// A task is work that is handed to another goroutine together with the turn.
type task func(ctx context.Context) (Result, error)

// hand gives a task to Run, if Run runs, and to a goroutine of its own if not. Run is the better place: a restart
// that lets workers finish what they do inside it then waits for the last record of the update, too.
func (s *shared) hand(t task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks != nil {
		s.tasks <- t // there is room: whoever hands has the turn
		return
	}
	go func() { _, _ = t(context.Background()) }()
}

// take makes Run the goroutine that carries out tasks. done gives that back.
func (s *shared) take() (tasks <-chan task, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := make(chan task, 1)
	s.tasks = mine
	return mine, func() {
		s.mu.Lock()
		s.tasks = nil
		s.mu.Unlock()
		select {
		case t := <-mine: // came as Run ended
			go func() { _, _ = t(context.Background()) }()
		default:
		}
	}
}
