package cli

import (
	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
)

// A configCommand shows the configuration.
type configCommand struct {
	*app
	schema bool
}

func newConfig(a *app) *cobra.Command {
	s := &configCommand{app: a}
	c := &cobra.Command{
		Use:   "config",
		Short: "Show the effective configuration and the source of each value",
		Long: `Shows every effective value of the configuration and its source. Later files override
earlier ones, and the environment overrides files. Secrets in URLs are replaced by
xxxxx.

With --schema it prints the JSON Schema of the file, for an editor.`,
		Example: `  sluice config
  sluice config --config sluice.yaml --config live.yaml -o json
  sluice config --schema > sluice.schema.json`,
		Args: atMost(0),
		RunE: s.run,
	}
	c.Flags().BoolVar(&s.schema, "schema", false, "print the JSON Schema of the configuration file")
	return c
}

func (s *configCommand) run(*cobra.Command, []string) error {
	if s.schema {
		return s.printf("%s", config.JSONSchema())
	}
	c, err := s.config()
	if err != nil {
		return err
	}
	if s.asJSON() {
		type value struct {
			Key    string `json:"key"`
			Value  string `json:"value"`
			Origin string `json:"origin"`
		}
		for _, v := range c.Values() {
			if err := s.printJSON(value{v.Path, v.Text, v.Origin.String()}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(c.Values()) == 0 {
		if len(c.Files()) == 0 {
			s.log.Info("nothing is configured: there is no " + config.DefaultFile + " here")
		}
		return nil
	}
	rows := [][]string{{"KEY", "VALUE", "ORIGIN"}}
	for _, v := range c.Values() {
		rows = append(rows, []string{v.Path, v.Text, v.Origin.String()})
	}
	return s.table(rows, layout{}) // its values must stay whole
}
