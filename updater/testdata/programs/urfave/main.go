// A program on urfave/cli.
package main

import (
	"context"
	"os"

	"github.com/urfave/cli/v3"
)

var version string

func main() {
	root := &cli.Command{Name: "tool", Version: version}
	if root.Run(context.Background(), os.Args) != nil {
		os.Exit(1)
	}
}
