package testenv

import (
	"fmt"
	"os"
	"testing"
)

// Variable says how much the tests do: nothing for what a person runs after a change, "long" for what CI runs, "full" for
// everything there is, which takes hours.
//
//	go test ./... ./cmd/theseus/...
//	THESEUS_TESTS=long go test ./... ./cmd/theseus/...
//	THESEUS_TESTS=full go test -timeout 24h ./... ./cmd/theseus/...
const Variable = "THESEUS_TESTS"

// An Effort is how much the tests do. The same tests run in each, with more rounds, more points at which something is
// broken, more steps drawn by chance.
type Effort int

const (
	Quick Effort = iota // minutes, also on a busy machine
	Long                // CI: many points of each sweep
	Full                // hours: every point, every file system, every number in doc/
)

// Asked returns the effort that the environment asks for.
func Asked() Effort {
	switch asked := os.Getenv(Variable); asked {
	case "":
		return Quick
	case "long":
		return Long
	case "full":
		return Full
	default:
		panic(fmt.Sprintf("%s=%s: there is long and full", Variable, asked))
	}
}

// Pick returns what belongs to the effort that is asked for.
func Pick[T any](quick, long, full T) T { return [...]T{quick, long, full}[Asked()] }

// NeedEffort skips the test unless at least this effort is asked for. It is for the few of which there is no quick form,
// and is no want of the machine's, so it is not counted.
func NeedEffort(tb testing.TB, least Effort) {
	tb.Helper()
	if Asked() < least {
		tb.Skipf("only with %s=%s", Variable, [...]string{"", "long", "full"}[least])
	}
}
