package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
)

// writeExtras writes into dir what an archive has beside the program: completions/,
// man/ and THIRD_PARTY_LICENSES. It replaces files of the same names.
func writeExtras(ctx context.Context, dir string) error {
	root := cli.Documented()
	if err := writeCompletions(root, filepath.Join(dir, "completions")); err != nil {
		return err
	}
	if err := writeManuals(root, filepath.Join(dir, "man")); err != nil {
		return err
	}
	text, err := notices(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, noticesFile), text, 0o644)
}

// writeCompletions writes the completion of each shell that cobra knows.
func writeCompletions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, generate := range map[string]func(io.Writer) error{
		"sluice.bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_sluice":     root.GenZshCompletion,
		"sluice.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"sluice.ps1":  root.GenPowerShellCompletionWithDesc,
	} {
		var script bytes.Buffer
		if err := generate(&script); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), script.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeManuals writes a manual page for each command, in section 1.
func writeManuals(root *cobra.Command, dir string) error {
	at, err := epoch()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &at, Source: "Sluice", Manual: "Sluice"}, dir)
}
