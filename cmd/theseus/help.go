package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// foldHelp makes the help of c and of all below it fit. What is indented in the source (commands, tables) stays as it is.
func foldHelp(c *cobra.Command) {
	cobra.AddTemplateFunc("paragraphs", paragraphs)
	cobra.AddTemplateFunc("columns", ui.HelpColumns)
	cobra.AddTemplateFunc("hang", func(name, short string) string { return ui.Fold(name+" "+short, ui.HelpColumns()-2, len(name)+3) })
	c.SetHelpTemplate(`{{with (or .Long .Short)}}{{paragraphs .}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`)
	usage := c.UsageTemplate()
	for _, change := range [][2]string{
		{"{{rpad .Name .NamePadding }} {{.Short}}", "{{hang (rpad .Name .NamePadding) .Short}}"},
		{".FlagUsages ", ".FlagUsagesWrapped columns "},
	} {
		usage = strings.ReplaceAll(usage, change[0], change[1])
	}
	c.SetUsageTemplate(usage)
}

// paragraphs fills each paragraph anew.
func paragraphs(text string) string {
	var out []string
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if !strings.Contains("\n"+p, "\n ") {
			p = ui.Fold(strings.Join(strings.Fields(p), " "), ui.HelpColumns(), 0)
		}
		out = append(out, p)
	}
	return strings.Join(out, "\n\n")
}
