package install

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// Maven returns the directory of the jars that the dependencies of pom come to.
// Fetching them takes Maven and, once, about half a minute.
func Maven(ctx context.Context, name string, pom []byte) (string, error) {
	dir, err := once(ctx, name, pom, func(dir string) error {
		mvn, err := exec.LookPath("mvn")
		if err != nil {
			return errors.New("no Maven (mvn) on the PATH")
		}
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
			return err
		}
		return run(ctx, dir, mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies",
			"-DoutputDirectory="+filepath.Join(dir, "lib"))
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "lib"), nil
}
