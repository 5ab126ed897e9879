package updater

import (
	"errors"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
)

// Status is what the updater knows: the answer of GET /update.
type Status struct {
	App     string `json:"app"`
	Channel string `json:"channel"`
	PID     int    `json:"pid"`
	// Running is the version of this process, Installed that of the file at its
	// path, Offered what the channel has for this machine, "" if nothing newer.
	Running   string `json:"running"`
	Installed string `json:"installed,omitzero"`
	Offered   string `json:"offered,omitzero"`
	// Proved: the installed file has run healthily.
	Proved bool `json:"proved"`
	// State is the step being done, or idle.
	State Step `json:"state"`
	// Downloaded and Size are bytes of the download that runs, 0 if none does.
	Downloaded int64 `json:"downloaded,omitzero"`
	Size       int64 `json:"size,omitzero"`

	// Sequence and Expires are those of the last accepted channel document. No
	// update is installed after Expires until a newer document is served.
	Sequence int64     `json:"sequence,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Trust    int       `json:"trust"`

	LastCheck   time.Time `json:"last_check,omitzero"`   // last that succeeded
	LastAttempt time.Time `json:"last_attempt,omitzero"` // last at all
	NextCheck   time.Time `json:"next_check,omitzero"`   // only while Run runs
	// Outcome is how the last update ended, nil before the first.
	Outcome *Outcome `json:"outcome,omitzero"`
	// Sources are those that failed at the last check, and why.
	Sources []fetch.Attempt `json:"sources,omitzero"`
	// Failed are the versions that are not tried again by themselves.
	Failed map[string]string `json:"failed,omitzero"`
	// Explain is every rule of the last check, in order; only where asked for.
	Explain []release.Rule `json:"explain,omitzero"`
}

// Outcome is how an update ended.
type Outcome struct {
	At      time.Time `json:"at"`
	Version string    `json:"version,omitzero"` // which release it was about
	Step    Step      `json:"step,omitzero"`    // where it stopped, if it failed
	// Code is the exit code that the command line would give.
	Code  int    `json:"code"`
	Error string `json:"error,omitzero"`
}

// outcome describes an error for somebody who is not on this machine: the local
// paths in its text are shortened to their last element.
func (u *Updater) outcome(version string, err error) *Outcome {
	o := &Outcome{At: u.now().UTC(), Version: version, Code: exitCode(err)}
	if err == nil {
		return o
	}
	var e *Error
	if errors.As(err, &e) {
		o.Step = e.Step
		if e.Version != "" {
			o.Version = e.Version
		}
	}
	o.Error = u.redact(err.Error())
	return o
}

// redact removes local paths: the admin endpoint is no map of the machine.
func (u *Updater) redact(text string) string {
	for _, long := range []struct{ path, short string }{
		{u.target.Home, "(state folder)"}, {u.target.Path, u.opts.App}, {u.target.Dir, "(program folder)"},
	} {
		text = strings.ReplaceAll(text, long.path, long.short)
	}
	return text
}
