package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// build is which parley this is.
type build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
	}
	return answers(cmd, func(*cobra.Command, []string) (*build, error) {
		return &build{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}, nil
	}, func(out io.Writer, b *build) error {
		_, err := fmt.Fprintf(out, "parley %s, %s, %s/%s\n", b.Version, b.Go, b.OS, b.Arch)
		return err
	})
}
