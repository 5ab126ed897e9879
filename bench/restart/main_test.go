package main

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(serverVar); kind != "" {
		serve(kind)
		return
	}
	os.Exit(m.Run())
}

// TestShort measures our own servers over a few handovers: run fails when one of them loses a request.
func TestShort(t *testing.T) {
	*handovers, *interval, *clients = 3, 50*time.Millisecond, 8
	*only = "theseus,theseus-tls,theseus-h2,theseus-h2c"
	if err := run(); err != nil {
		t.Error(err)
	}
}
