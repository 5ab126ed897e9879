package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
)

func lockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lock",
		Short: "Join what two machines remember of what they signed",
		Long: `theseus.lock remembers what was signed: of each channel the last sequence and identity and what is withdrawn, and every
trust document that was followed. It is a floor: what is newer and keeps what is known is adopted, what is older or lacks
something is refused. It is written by the verbs that sign, and meant to be committed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	merge := &cobra.Command{
		Use:   "merge OURS THEIRS",
		Short: "Write into OURS what either of two locks knows: of each channel the higher entry",
		Example: `  theseus lock merge theseus.lock other/theseus.lock
  git config merge.theseus.driver 'theseus lock merge %A %B'
  echo 'theseus.lock merge=theseus' >> .gitattributes`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := publisher.MergeLocks(args[0], args[1]); err != nil {
				return err
			}
			fmt.Printf("%s knows what both knew.\n", args[0])
			return nil
		},
	}
	c.AddCommand(merge)
	return c
}
