package screen

import (
	"fmt"
	"strings"
)

// DidYouMean is a remark about the name that somebody may have meant, to be put behind the one that he wrote; "" if none
// is near.
func DidYouMean(wrote string, names []string) string {
	best, least := "", max(1, len(wrote)/3)+1
	for _, n := range names {
		d := distance(strings.ToLower(wrote), strings.ToLower(n))
		if strings.HasPrefix(n, wrote) && len(wrote) > 2 {
			d = 1
		}
		if d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance is how many letters have to be put in, left out, exchanged for others or swapped with their neighbour.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
