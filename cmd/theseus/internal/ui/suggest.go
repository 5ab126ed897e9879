package ui

import "github.com/theseus-go/theseus/internal/screen"

// DidYouMean is a remark about the name that somebody may have meant, to be put behind the one that he wrote; "" if none
// is near.
func DidYouMean(wrote string, names []string) string { return screen.DidYouMean(wrote, names) }
