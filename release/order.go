package release

import "sort"

// order sorts in place, like slices.SortFunc. That compiles its whole algorithm for each type that is sorted: 20 kB of it for
// each kind of list in a document, in every program that updates itself.
func order[T any](list []T, compare func(a, b T) int) {
	sort.Slice(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
