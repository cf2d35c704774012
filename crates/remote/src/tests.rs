//! The door as a whole: the walk against prost, hostile bodies, answers.
