package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/drivers"
)

// Documented returns the command with all its subcommands, for generators of
// manuals and completions. It opens no queue and must not be executed.
func Documented() *cobra.Command {
	a := &app{out: io.Discard, err: io.Discard, mux: drivers.NewMux(), level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler)}
	root := newRoot(a)
	root.DisableAutoGenTag = true // no date: the same command gives the same text
	root.InitDefaultHelpCmd()
	return root
}
