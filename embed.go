// Package headwatch holds what the binary carries of the top folder: the
// pipelines that it follows when the user brings no file of his own.
package headwatch

import _ "embed"

// Pipelines is pipelines.yaml as shipped. orchestrator/pipeline checks it.
//
//go:embed pipelines.yaml
var Pipelines []byte
