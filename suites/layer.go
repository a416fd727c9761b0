package suites

import "fmt"

// Layer orders suites by cost. A layer starts on an image only when the layer
// below passed on it. The zero value is invalid.
type Layer int

// The layers, cheapest first.
const (
	_          Layer = iota
	Smoke            // at most a minute per boot, on every commit
	Functional       // at most ten minutes
	Stress           // ten to thirty minutes, races and pressure
	Soak             // an hour or more
)

// Layers lists the valid layers from the bottom up.
var Layers = []Layer{Smoke, Functional, Stress, Soak}

var layerWords = map[Layer]string{
	Smoke: "smoke", Functional: "functional", Stress: "stress", Soak: "soak",
}

func (l Layer) String() string {
	if w, ok := layerWords[l]; ok {
		return w
	}
	return fmt.Sprintf("invalid layer %d", int(l))
}

// MarshalText writes the layer's name; an invalid layer is an error.
func (l Layer) MarshalText() ([]byte, error) {
	if w, ok := layerWords[l]; ok {
		return []byte(w), nil
	}
	return nil, fmt.Errorf("invalid layer %d", int(l))
}

// UnmarshalText reads a layer's name.
func (l *Layer) UnmarshalText(text []byte) error {
	for layer, w := range layerWords {
		if w == string(text) {
			*l = layer
			return nil
		}
	}
	return fmt.Errorf("unknown layer %q: one of smoke, functional, stress, soak", text)
}
