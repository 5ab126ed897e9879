package demo

import (
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/screen"
)

// A narrator tells the story of the demo, line by line, and on a terminal keeps a line at the bottom that shows how the
// load is doing. The words are the same everywhere; colour and the moving line are for terminals (ui.go).
type narrator struct {
	f       *os.File
	moves   bool
	colours bool

	mu     sync.Mutex
	scenes int
	status func() string
	done   chan struct{}
	ended  sync.WaitGroup
}

func newNarrator(f *os.File) *narrator {
	return &narrator{f: f, moves: ui.Moves(f), colours: ui.Colours(f), done: make(chan struct{})}
}

const (
	bold   = "\x1b[1m"
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
	redraw = "\r\x1b[K"
)

func (n *narrator) title(text string)               { n.print(bold, text) }
func (n *narrator) fact(format string, args ...any) { n.print("", "   "+fmt.Sprintf(format, args...)) }
func (n *narrator) good(format string, args ...any) {
	n.print(green, " ✓ "+fmt.Sprintf(format, args...))
}
func (n *narrator) bad(format string, args ...any) {
	n.print(red, " ✗ "+fmt.Sprintf(format, args...))
}

func (n *narrator) scene(title string) {
	n.mu.Lock()
	n.scenes++
	i := n.scenes
	n.mu.Unlock()
	n.print("", "")
	n.print(bold, fmt.Sprintf("%d. %s", i, title))
}

func (n *narrator) print(style, line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.moves {
		fmt.Fprintln(n.f, line)
		return
	}
	fmt.Fprint(n.f, redraw, n.paint(style, ui.Fold(line, ui.Columns(n.f), 3)), "\n")
	n.bottom()
}

func (n *narrator) paint(style, text string) string {
	if !n.colours || style == "" {
		return text
	}
	return style + text + plain
}

func (n *narrator) bottom() {
	if n.status != nil {
		fmt.Fprint(n.f, redraw, n.paint(dim, screen.Fit("   "+n.status(), ui.Columns(n.f))))
	}
}

// still takes the status away, because something else is printed now.
func (n *narrator) still() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.status != nil {
		n.status = nil
		fmt.Fprint(n.f, redraw)
	}
}

// watch keeps a status at the bottom of a terminal.
func (n *narrator) watch(status func() string) {
	if !n.moves {
		return
	}
	n.mu.Lock()
	n.status = status
	n.mu.Unlock()
	n.ended.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				n.mu.Lock()
				n.bottom()
				n.mu.Unlock()
			case <-n.done:
				return
			}
		}
	})
}

var (
	digest = regexp.MustCompile(`([0-9a-f]{12})[0-9a-f]{52}`)
	origin = regexp.MustCompile(`fetching \S+ from \S+: `)
)

// abridge leaves out of an error what the audience knows already: where the demo serves, and most of each hash.
func abridge(message string) string {
	return origin.ReplaceAllString(digest.ReplaceAllString(message, "$1…"), "")
}

func (n *narrator) close() {
	close(n.done)
	n.ended.Wait()
	if n.moves {
		fmt.Fprint(n.f, redraw)
	}
}
