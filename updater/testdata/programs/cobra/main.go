// A program on cobra.
package main

import (
	"os"

	"github.com/spf13/cobra"
)

var version string

func main() {
	root := &cobra.Command{Use: "tool", Version: version, Run: func(*cobra.Command, []string) {}}
	if root.Execute() != nil {
		os.Exit(1)
	}
}
