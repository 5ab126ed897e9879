package swap

import (
	"os"
	"slices"
)

func attributes(f *os.File) ([]string, error) {
	names, err := listAttributes(f)
	return slices.DeleteFunc(names, ofContent), err
}
