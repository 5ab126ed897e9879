package main

import (
	"slices"
	"strings"
	"testing"
)

func TestDeltaAdvice(t *testing.T) {
	for _, row := range []struct {
		name string
		r    deltaReport
		want []string // what each line has
	}{
		{"nothing to be done", deltaReport{OldGo: "go1.26.8", NewGo: "go1.26.8", Standard: 12}, nil},
		{"not by Go", deltaReport{}, nil},
		{"debugging information", deltaReport{OldGo: "go1.26.8", NewGo: "go1.26.8", Debug: 4321}, []string{"-s -w'; 4321 bytes"}},
		{"two releases", deltaReport{OldGo: "go1.25.5", NewGo: "go1.26.8", Standard: 999}, []string{"go1.25.5 made the old one, go1.26.8 the new one); 999 bytes"}},
		{"both", deltaReport{OldGo: "go1.25.5", NewGo: "go1.26.8", Debug: 1}, []string{"; 1 bytes", "; 0 bytes"}},
	} {
		got := row.r.advice()
		if len(got) != len(row.want) || !slices.EqualFunc(got, row.want, strings.Contains) {
			t.Errorf("%s: %q", row.name, got)
		}
	}
}
