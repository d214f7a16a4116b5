package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"text/template"

	"github.com/spf13/cobra"
)

// archive matches a line of the file of checksums that is about an archive for
// Homebrew: its sum, name, version, system and architecture.
var archive = regexp.MustCompile(`^([0-9a-f]{64})\s+(sluice_(.+)_(linux|darwin)_(amd64|arm64)\.tar\.gz)$`)

// A release is what the formula's template sees.
type release struct {
	Version  string
	Archives map[string]archived // by system and architecture, as in linux_amd64
}

// archived is one archive of a release.
type archived struct{ Name, SHA256 string }

func newFormula() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "formula CHECKSUMS", Short: "Print the Homebrew formula of a release by its file of checksums", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeFormula(cmd.OutOrStdout(), path, args[0])
		},
	}
	c.Flags().StringVar(&path, "template", "examples/deploy/homebrew/sluice.rb.tmpl", "`FILE` with the formula's template")
	return c
}

func writeFormula(w io.Writer, path, checksums string) error {
	r, err := readChecksums(checksums)
	if err != nil {
		return err
	}
	t, err := template.New("").Option("missingkey=error").ParseFiles(path)
	if err != nil {
		return err
	}
	return t.Templates()[0].Execute(w, r)
}

// readChecksums finds the four archives that the formula names. They must be of one version.
func readChecksums(path string) (*release, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &release{Archives: map[string]archived{}}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := archive.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if r.Version == "" {
			r.Version = m[3]
		}
		if r.Version != m[3] {
			return nil, fmt.Errorf("%s: archives of two versions, %s and %s", path, r.Version, m[3])
		}
		r.Archives[m[4]+"_"+m[5]] = archived{m[2], m[1]}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for _, system := range []string{"linux", "darwin"} {
		for _, architecture := range architectures {
			if key := system + "_" + architecture; r.Archives[key].Name == "" {
				return nil, fmt.Errorf("%s: no archive sluice_VERSION_%s.tar.gz", path, key)
			}
		}
	}
	return r, nil
}
