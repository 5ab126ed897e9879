package restart

import (
	"errors"
	"sync"
	"testing"

	"github.com/cloudflare/tableflip"
)

// A process has one.
var newUpgrader = sync.OnceValues(func() (*tableflip.Upgrader, error) { return tableflip.New(tableflip.Options{}) })

// What tableflip says to a request that comes a moment too early is known: otherwise a handover that is asked for in that
// moment would fail, and blame the new version.
func TestTooEarly(t *testing.T) {
	upg, err := newUpgrader()
	if errors.Is(err, tableflip.ErrNotSupported) {
		return // nor are handovers
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := upg.Upgrade(); !tooEarly(err) {
		t.Errorf("before Ready it says %v", err)
	}
	if tooEarly(nil) || tooEarly(errors.New("no such file or directory")) {
		t.Error("it would be asked again and again")
	}
}
