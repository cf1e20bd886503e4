import './report.css';
import './lab.css';
