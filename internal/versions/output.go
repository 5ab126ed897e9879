package versions

import (
	"regexp"
	"strings"
	"unicode"
)

// Says reports whether what a program printed for --version says that it is want, a version as Normal returns it. Standard
// output decides if there is any version on it, else standard error does: there warnings stand, and addresses and versions of
// other things in them. Whichever it is, one whole word of it has to be the version. name is the program's: it may stand in
// front of the version, in one word with it, as in hello-1.2.0.
//
// If not, instead is the version that the output looks most like, "" if it looks like none.
func Says(stdout, stderr, name, want string) (yes bool, instead string) {
	for _, text := range []string{stdout, stderr} {
		best := 0
		instead = ""
		for word, before := range words(text, name) {
			v, rank := judge(word, before, name)
			if rank > 0 && (v == want || strings.TrimPrefix(word, "v") == want) {
				return true, ""
			}
			if rank > best {
				best, instead = rank, v
			}
		}
		if instead != "" {
			return false, instead
		}
	}
	return false, ""
}

// First returns the version that a program has printed for --version, if nobody knows which one it should be; "" if there is
// none.
func First(stdout, stderr, name string) string {
	_, v := Says(stdout, stderr, name, "")
	return v
}

var (
	escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	date    = regexp.MustCompile(`^(?:19|20)\d\d[.-](?:0?[1-9]|1[0-2])[.-](?:0?[1-9]|[12]\d|3[01])$`)
)

// judge says how much a word looks like the version of the program: 0 not at all. A number with one point in it may be one,
// but also a duration or a size, and a date may be the day of the build.
func judge(word, before, name string) (v string, rank int) {
	v, err := Normal(word)
	core := word
	if i := strings.IndexAny(word, "-+"); i >= 0 {
		core = word[:i]
	}
	dots := strings.Count(core, ".")
	switch {
	case err != nil:
		return "", 0
	case date.MatchString(word):
		return v, 2
	case dots == 2 && name != "" && strings.EqualFold(before, name):
		return v, 6
	case dots == 2 && strings.EqualFold(before, "version"):
		return v, 5
	case dots == 2:
		return v, 4
	case dots == 1 && (word[0] == 'v' || strings.EqualFold(before, "version")):
		return v, 3
	case dots == 1:
		return v, 1
	}
	return "", 0
}

// words yields the words of a text, and the one before each.
func words(text, name string) func(yield func(word, before string) bool) {
	text = escapes.ReplaceAllString(text, "")
	return func(yield func(string, string) bool) {
		before := ""
		for _, w := range strings.FieldsFunc(text, func(r rune) bool {
			return unicode.IsSpace(r) || strings.ContainsRune(`()[]{}<>,;:"'=|`+"`", r)
		}) {
			w = strings.TrimRight(w, ".!?*")
			if rest, ok := strings.CutPrefix(strings.ToLower(w), strings.ToLower(name)); ok && name != "" && rest != "" && strings.ContainsRune("-_/@", rune(rest[0])) {
				w = w[len(w)-len(rest)+1:]
			}
			if w == "" {
				continue
			}
			if !yield(w, before) {
				return
			}
			before = w
		}
	}
}
