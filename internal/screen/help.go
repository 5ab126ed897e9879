package screen

import "strings"

// Help fills a help text anew for so many columns. Its paragraphs are apart by empty lines; a line that is indented by two
// begins an item, whose words hang where its second column stands, and deeper ones go on with it.
func Help(text string, columns int) string {
	var out []string
	var line string // the one that is being collected
	flush := func() {
		if line != "" {
			out = append(out, Fold(line, columns, hang(line)))
		}
		line = ""
	}
	for l := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		item := strings.HasPrefix(l, "  ") && !strings.HasPrefix(l, "   ")
		switch {
		case l == "":
			flush()
			out = append(out, "")
		case line == "":
			line = l
		case item:
			flush()
			line = l
		default:
			line += " " + strings.TrimSpace(l)
		}
	}
	flush()
	return strings.Join(out, "\n") + "\n"
}

// hang is the column in which the words of an item begin.
func hang(line string) int {
	if !strings.HasPrefix(line, "  ") {
		if strings.HasPrefix(line, "usage: ") {
			return len("usage: ")
		}
		return 0
	}
	gap := strings.Index(line[2:], "  ")
	if gap < 0 {
		return 4
	}
	at := 2 + gap
	return at + len(line[at:]) - len(strings.TrimLeft(line[at:], " "))
}
